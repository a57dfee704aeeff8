"""Many attempts and many candidates: candidate sets, selectors, estimators, sweeps and ablations."""
