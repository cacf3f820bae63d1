"""The engine of LionWeb: Lion's adversarial distillation without a web app, a queue or a database."""
