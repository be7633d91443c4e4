"""Who somebody is: digest authentication, both sides of it, and how many wrong passwords are heard."""
