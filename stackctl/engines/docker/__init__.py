"""Any Docker Engine behind the Engine protocol."""
