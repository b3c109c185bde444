/*
 * Faults that a test build can switch on in the engine, to prove that the simulation notices them
 * (tests/simulation). In every other build MUTANT() is false and costs nothing.
 */
#pragma once

enum rollout_mutant {
	MUTANT_NONE,
	MUTANT_ONE_TOO_MANY,
	MUTANT_BUDGET_OFF_BY_ONE,
	MUTANT_NO_WAVES,
	MUTANT_LEFT_HALFWAY,
	MUTANT_NO_DEADLINE,
	MUTANT_NO_PROGRESS_DEADLINE,
	MUTANT_NO_SOAK,
	MUTANT_SOAKING_FORGOTTEN,
	MUTANT_BLIND_TO_HEALTH,
	MUTANT_REVERT_AT_ONCE,
	MUTANT_STALE_RESULTS,
	MUTANT_REVERT_GLOSSED_OVER,
	MUTANT_COUNT,
};

#ifdef PH_ROLLOUT_MUTANTS
extern enum rollout_mutant rollout_mutant; /* the one that is switched on */
#define MUTANT(name) (rollout_mutant == MUTANT_##name)
#else
#define MUTANT(name) 0
#endif
