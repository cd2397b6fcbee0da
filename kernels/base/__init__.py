"""The basis of all kernels: compilation, the host, memory, vectors and functions of vectors."""
