"""The benches work, and their checkers see what is wrong."""
