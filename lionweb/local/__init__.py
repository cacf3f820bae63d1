"""The stack on one machine: embedded PostgreSQL and Valkey, the bundled teacher, workers and the web server."""
