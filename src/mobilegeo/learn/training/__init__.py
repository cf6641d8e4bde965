"""Training of the paper's objectives: what is fed, how a step is made, how a run goes on."""
