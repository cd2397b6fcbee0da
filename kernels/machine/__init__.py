"""What runs programs: the interpreter, and the threads that keep in step with it."""
