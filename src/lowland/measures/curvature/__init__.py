"""Second derivatives of the loss: products with the Hessian, its trace and top eigenvectors."""
