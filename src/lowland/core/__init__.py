"""What everything else stands on: settings, genotypes, seeds, device, errors, files."""
