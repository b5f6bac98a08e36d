"""What model libraries take and give: one module for each library, imported only when it is used."""
