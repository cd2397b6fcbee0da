"""Networks: parameters, layers, models (chains of layers) and losses."""
