"""Finished sessions priced and charged by the hundred: few statements, one commit, the same books as one by one."""
