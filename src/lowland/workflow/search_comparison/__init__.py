"""Searches beside one another: each an ordinary run, at equal search time, over several seeds."""
