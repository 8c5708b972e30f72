"""Where scores are computed: in this process or in several."""
