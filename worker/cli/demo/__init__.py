"""`cartbridge demo`: the main job from end to end against the sandbox, with faults and a kill, and the proof of it."""
