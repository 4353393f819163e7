"""The engine under simulated misfortune: real threads, memory servers, a failure at every call."""
