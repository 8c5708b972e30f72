"""The loss surface around the weights of any trained model: what is asked of it, and what is found."""
