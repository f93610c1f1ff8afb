"""One recipe a file: data builder, training, evaluation."""
