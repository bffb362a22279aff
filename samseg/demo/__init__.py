"""`samseg demo`: a small lake of photos and generated scenes, labelled end to end."""
