def write(folder): return "-"
