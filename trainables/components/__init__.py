"""Components of methods: network, losses, heads, updates, batch transforms, post-hoc adjustments. Knows no method."""
