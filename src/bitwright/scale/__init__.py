"""Past one process and one machine: the ranks that torchrun starts, and Ray's workers. Others' engines, none of our own."""
