"""What goes in, what is kept, what comes out: shapes and their validation, no other behaviour."""
