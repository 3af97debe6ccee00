typedef int runtime_is_to_come;
