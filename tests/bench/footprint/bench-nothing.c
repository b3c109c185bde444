/* The floor of bench-footprint: what the kernel takes to run a static program that does nothing. */
int main(void)
{
	return 0;
}
