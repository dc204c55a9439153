"""A model, or the kernels, in the forms that other programs take, and the way to the hub."""
