"""XA transactions: from their PREPARE to their outcome, across restarts and starts in between."""
