"""Views: pictures, pages and text for people, from values already read. They touch no storage."""
