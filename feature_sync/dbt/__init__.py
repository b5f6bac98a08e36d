"""What dbt wrote: the project, its profile, its manifest and the results of its runs."""
