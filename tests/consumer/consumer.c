/* SPDX-License-Identifier: BSD-3-Clause
 * Allocates coherent memory in a job; says so where there is no job. */
#include <norma/norma.h>

#include <stdio.h>

int main(void) {
    if (!norma_in_job()) {
        puts("not in a job");
        return 0;
    }
    vm_address_t address = 0;
    const kern_return_t result = vm_allocate(mach_task_self(), &address, 4096, TRUE);
    if (result != KERN_SUCCESS) {
        printf("vm_allocate: %s\n", norma_strerror(result));
        return 1;
    }
    *(int *)address = 42;
    printf("%d nodes, %d\n", norma_node_count(), *(int *)address);
    return 0;
}
