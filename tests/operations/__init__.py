"""What an operator meets: stops, full disks, wrong words, secrets, health, servers that are away."""
