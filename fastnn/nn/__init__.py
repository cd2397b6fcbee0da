"""Networks: parameters, layers, chains of them, and losses."""
