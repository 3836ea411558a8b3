"""Numbers: the inference behind experiments, pure functions over frozen values.

Nothing here knows what a model, a request or a database is, and nothing is random or keeps time.
Counts and sums come in, evidence comes out, and what must be remembered between two looks is a
frozen value that the caller keeps. Two ideas run through all of it:

- An *e-process* is a number that stays at 1 in expectation while the null hypothesis holds,
  whenever one looks: by Ville's inequality it ever reaches `1 / alpha` with probability at most
  alpha. Kept as its natural logarithm, in nats.
- A *confidence sequence* is an interval that holds at all times at once.

One algorithm a file: `rates` (errors), `cells` and `sequences` (means), `histograms` and
`quantiles` (latency), `allocations` (sample ratio mismatch), `evidence` (many guardrails at once),
`futility`, `planning`; `edetectors` (a change as it happens), `distances` (of counts in the same
bins), `holm` (many tests at once). All of those are plain Python. What works on whole files,
`counting` and `embeddings`, imports NumPy when it is called.
"""
