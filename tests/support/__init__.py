"""What several tests need: servers, projects, the oracle and its cases."""
