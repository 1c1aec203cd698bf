"""What every stage needs and no hand knows: settings, seeds, files, progress, ledger, cluster."""
