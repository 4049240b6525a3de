extern "C" int csp_stand_in(void){return 0;}
