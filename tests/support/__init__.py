"""What tests of every ring share. A test imports from here and from its own ring, never from another ring."""
