"""`samseg demo`: labels a small lake of photos and generated scenes end to end."""
