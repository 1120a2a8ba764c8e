def measure(x):
    return x + 1
