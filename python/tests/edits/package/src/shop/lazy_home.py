def heavy():
    return 30
