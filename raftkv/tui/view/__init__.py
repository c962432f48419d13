"""From state to lines of styled spans: pure, and free of Textual. Widgets only draw the lines."""
