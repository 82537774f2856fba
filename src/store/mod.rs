//! What outlives a moment: probes in flight, their results, how each test stands, and the notices that are still to go out.
