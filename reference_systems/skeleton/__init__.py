"""The smallest reference system: a chain that keeps values. Made to be copied."""
