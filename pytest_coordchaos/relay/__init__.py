"""Our proxy: one process per cluster, the first hop of every link."""
