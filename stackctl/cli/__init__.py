"""The command line. The only room that reads the environment, handles signals and exits."""
