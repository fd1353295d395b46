"""Parts that methods are composed of: network, losses, heads, updates, transforms. Knows no method."""
