"""What all kernels stand on: compilation, the host, memory, vectors and functions of them."""
