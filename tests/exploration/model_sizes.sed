# SPDX-License-Identifier: BSD-3-Clause
# The constants of the model: room for whatever an explored job needs. That it is enough is asserted by the model.
s/^( *DEATHS): [0-9]+;/\1: 2;/
s/^( *FENCES): [0-9]+;/\1: 0;/
s/^( *REJOINS): [0-9]+;/\1: 0;/
s/^( *RELEASES): [0-9]+;/\1: 1;/
s/^( *REPEATS): [0-9]+;/\1: 0;/
s/^( *NET): [0-9]+;/\1: 13;/
s/^( *TXN): [0-9]+;/\1: 17;/
s/^( *QUEUE): [0-9]+;/\1: 8;/
s/^( *DEFERRED): [0-9]+;/\1: 4;/
s/^( *OWN): [0-9]+;/\1: 5;/
