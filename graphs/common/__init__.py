"""What all strategies share: state, prompts, prompt packing, reading with citations, steps."""
