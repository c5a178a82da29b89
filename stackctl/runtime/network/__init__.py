"""Networks of containers: addresses, bridges, firewall, published ports, names."""
